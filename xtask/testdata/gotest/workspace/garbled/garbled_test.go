// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package garbled_test

import (
	"os"
	"strings"
	"testing"
)

// TestMain prints what looks like results before any test has begun.
func TestMain(m *testing.M) {
	os.Stdout.WriteString("--- FAIL: TestNobody (0.00s)\nFAIL\n")
	os.Exit(m.Run())
}

func TestPrintsMuch(t *testing.T) {
	line := strings.Repeat("x", 1023) + "\n"

	for range 8 << 10 {
		os.Stdout.WriteString(line)
	}
}

func TestPrintsBytes(t *testing.T) {
	os.Stdout.Write([]byte{0xff, 0xfe, 0, 0x1b, '[', '3', '1', 'm', '\n'})
	t.Error("bytes")
}
