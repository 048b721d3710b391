// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package flaky_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSecondTime fails the first time that it is run with that FLAKY_DIR.
func TestSecondTime(t *testing.T) {
	dir := os.Getenv("FLAKY_DIR")
	if dir == "" {
		t.Skip("FLAKY_DIR is not set")
	}

	seen := filepath.Join(dir, "seen")
	if _, err := os.Stat(seen); err == nil {
		return
	}

	if err := os.WriteFile(seen, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	t.Fatal("the first time it fails")
}

func TestSteady(t *testing.T) {}
