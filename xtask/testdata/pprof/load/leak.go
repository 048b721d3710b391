package main

import (
	"os"
	"strconv"
)

// LEAK=N starts N goroutines that wait for a channel that nothing else has. Beside main, whose lines are in the profiles.
func init() {
	count, _ := strconv.Atoi(os.Getenv("LEAK"))

	for range count {
		go func() { <-make(chan struct{}) }()
	}
}
