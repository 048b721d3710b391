// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package dies_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestBefore(t *testing.T) {}

// TestDies ends its process as DIES says.
func TestDies(t *testing.T) {
	switch os.Getenv("DIES") {
	case "panic":
		fmt.Print("in the middle of a line ")
		panic("it is broken")
	case "exit":
		os.Exit(7)
	case "kill":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}

		select {}
	case "fatal":
		m := map[int]int{}
		for range 8 {
			go func() {
				for i := 0; ; i++ {
					m[i%8] = i
				}
			}()
		}

		select {}
	default:
		t.Skip("DIES is not set")
	}
}

func TestAfter(t *testing.T) {}
