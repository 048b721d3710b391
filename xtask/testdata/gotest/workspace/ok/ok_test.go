// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package ok_test

import (
	"os"
	"testing"
	"time"
)

func TestPasses(t *testing.T) {
	if wait := os.Getenv("OK_SLEEP"); wait != "" {
		duration, err := time.ParseDuration(wait)
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(duration)
	}
}

func TestSubtests(t *testing.T) {
	for _, name := range []string{"one", "with blanks", "--- FAIL: TestPasses (0.00s)", "=== RUN   TestNothing"} {
		t.Run(name, func(t *testing.T) {
			t.Log("said")
		})
	}
}

func TestSkips(t *testing.T) {
	t.Skip("there is no moon")
}

func TestReadsTestdata(t *testing.T) {
	if _, err := os.Stat("testdata/file"); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkNothing(b *testing.B) {
	for range b.N {
		_ = b.N
	}
}

func FuzzNothing(f *testing.F) {
	f.Add("seed")
	f.Fuzz(func(t *testing.T, text string) {
		_ = text
	})
}

func Example() {
	// It has no output to compare, so it is only compiled.
}
