// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package node_test

import (
	"testing"

	"lab.invalid/guest/internal/node"
)

func TestImageTag(t *testing.T) {
	for image, want := range map[string]string{
		"ghcr.io/siderolabs/installer:v1.12.0": "v1.12.0", "127.0.0.1:5005/installer": "", "installer": "", "a:v1@sha256:00": "v1",
		"127.0.0.1:5005/u/installer:v1.13.0-alpha.1-3-gabc-dirty": "v1.13.0-alpha.1-3-gabc-dirty", "": "",
	} {
		if got := node.ImageTag(image); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}

func TestParseMeminfo(t *testing.T) {
	m := node.ParseMeminfo("MemTotal:        2023432 kB\nHugePages_Total:       3\nActive(anon):  5 kB\nnonsense\n")
	if m["MemTotal"] != 2023432 || m["HugePages_Total"] != 3 || m["Active(anon)"] != 5 || len(m) != 3 {
		t.Errorf("%v", m)
	}
}
