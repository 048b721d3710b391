// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// `-text DIR` writes what a browser is shown: debug=1, and for goroutines debug=2 too. Beside main, whose lines are in the profiles.
func init() {
	if len(os.Args) != 3 || os.Args[1] != "-text" {
		return
	}

	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(10000)

	stop := make(chan struct{})
	wait(stop, 5)

	kept := work(60)

	runtime.GC()
	saveText(os.Args[2])
	runtime.KeepAlive(kept)
	os.Exit(0)
}

func saveText(dir string) {
	for _, kind := range []string{"heap", "goroutine", "mutex", "block", "threadcreate"} {
		for debug := 1; debug <= 2; debug++ {
			if debug == 2 && kind != "goroutine" {
				continue
			}

			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-debug%d.txt", kind, debug)))
			if err != nil {
				log.Fatal(err)
			}

			if err := pprof.Lookup(kind).WriteTo(f, debug); err != nil {
				log.Fatal(err)
			}

			f.Close()
		}
	}
}
