// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kernel_test

import (
	"slices"
	"testing"

	"lab.invalid/guest/internal/kernel"
)

func TestParseCmdline(t *testing.T) {
	c := kernel.ParseCmdline("console=tty0 slab_nomerge pti=on console=ttyS0,115200 talos.config=http://h/x?a=b lab.fault=\"hang-phase=a b\" empty=\n")

	if got := c.All("console"); !slices.Equal(got, []string{"tty0", "ttyS0,115200"}) {
		t.Errorf("console: %v", got)
	}

	for key, want := range map[string]string{
		"pti": "on", "slab_nomerge": "", "talos.config": "http://h/x?a=b", "lab.fault": "hang-phase=a b", "empty": "", "absent": "",
	} {
		if got := c.First(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}

	if !c.Has("slab_nomerge") || !c.Has("empty") || c.Has("absent") {
		t.Error("Has is wrong")
	}
}
