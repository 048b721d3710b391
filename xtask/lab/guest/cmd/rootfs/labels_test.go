// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"os"
	"path/filepath"
	"testing"
)

const fileContexts = `/etc(/.*)?	system_u:object_r:etc_t:s0
/usr(/.*)?	system_u:object_r:usr_t:s0
/usr/bin(/.*)?	system_u:object_r:bin_t:s0
/usr/bin/init	--	system_u:object_r:init_t:s0
/	system_u:object_r:rootfs_t:s0
`

func TestTheLastLineThatFitsNamesTheLabel(t *testing.T) {
	contexts, err := parseContexts(fileContexts)
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		path      string
		isRegular bool
		want      string
	}{
		{"/", false, "system_u:object_r:rootfs_t:s0"},
		{"/etc", false, "system_u:object_r:etc_t:s0"},
		{"/usr/bin/sh", true, "system_u:object_r:bin_t:s0"},
		{"/usr/bin/init", true, "system_u:object_r:init_t:s0"},
		{"/usr/bin/init", false, "system_u:object_r:bin_t:s0"},
		{"/usrx", true, ""},
	} {
		if got := contexts.label(c.path, c.isRegular); got != c.want {
			t.Errorf("%s: %q, not %q", c.path, got, c.want)
		}
	}
}

func TestALineThatIsNoContextIsAnError(t *testing.T) {
	for _, text := range []string{"/etc\n", "/a -- b c\n", "/( x\n"} {
		if _, err := parseContexts(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestEveryPathOfATreeIsLabelled(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(dir, "usr/bin/a b"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	contexts, err := parseContexts(fileContexts)
	if err != nil {
		t.Fatal(err)
	}

	const want = `"/" x security.selinux=system_u:object_r:rootfs_t:s0
"/usr" x security.selinux=system_u:object_r:usr_t:s0
"/usr/bin" x security.selinux=system_u:object_r:bin_t:s0
"/usr/bin/a b" x security.selinux=system_u:object_r:bin_t:s0
`
	if got, err := contexts.pseudoFiles(dir); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}
