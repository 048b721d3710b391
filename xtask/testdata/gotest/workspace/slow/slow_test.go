// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package slow_test

import (
	"os"
	"testing"
	"time"
)

func TestQuick(t *testing.T) {}

// TestSleeps is for runs that must be cut short.
func TestSleeps(t *testing.T) {
	wait, err := time.ParseDuration(os.Getenv("SLOW"))
	if err != nil {
		t.Skip("SLOW is not set")
	}

	if began := os.Getenv("SLOW_BEGAN"); began != "" {
		if err := os.WriteFile(began, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	time.Sleep(wait)
}

func TestNeverReached(t *testing.T) {}
