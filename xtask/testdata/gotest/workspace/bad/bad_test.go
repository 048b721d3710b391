// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package bad_test

import (
	"fmt"
	"os"
	"testing"
)

func TestFails(t *testing.T) {
	fmt.Print("no newline")
	t.Run("first", func(t *testing.T) { t.Log("it is fine") })
	t.Run("second", func(t *testing.T) { t.Error("it is not fine") })
}

func TestLooksLikeOthers(t *testing.T) {
	fmt.Println("--- FAIL: TestPasses (0.00s)")
	fmt.Println("=== RUN   TestNobody")
	fmt.Println("PASS")
	fmt.Fprintln(os.Stderr, "panic: not really")
}

func TestPasses(t *testing.T) {}
