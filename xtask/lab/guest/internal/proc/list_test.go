// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package proc

import "testing"

func TestParseStat(t *testing.T) {
	p, err := parseStat("42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 300 1000000 25 184 0 0")
	if err != nil {
		t.Fatal(err)
	}

	if p.GetPid() != 42 || p.GetCommand() != "a b) c" || p.GetState() != "S" || p.GetPpid() != 1 || p.GetThreads() != 7 || p.GetCpuTime() != 3 ||
		p.GetVirtualMemory() != 1000000 || p.GetResidentMemory() != 25*4096 {
		t.Errorf("%v", p)
	}

	for _, bad := range []string{"", "42", ")(", "1 (x) S 1"} {
		if _, err = parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
