// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

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
