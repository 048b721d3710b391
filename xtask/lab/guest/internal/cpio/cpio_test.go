// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package cpio_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"lab.invalid/guest/internal/cpio"
)

func archive(t *testing.T) []byte {
	t.Helper()

	var out bytes.Buffer

	w := cpio.NewWriter(&out)
	for _, e := range []struct {
		name string
		mode uint32
		data string
	}{{"etc", cpio.Dir | 0o755, ""}, {"etc/a", cpio.Regular | 0o640, "12345"}, {"lib", cpio.Link | 0o777, "usr/lib"}} {
		if err := w.Entry(e.name, e.mode, []byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}

	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	return out.Bytes()
}

// entries reads an archive as the kernel does: header, name and content, each padded to four bytes.
func entries(t *testing.T, raw []byte) []string {
	t.Helper()

	var list []string

	for pos := 0; ; {
		if string(raw[pos:pos+6]) != "070701" {
			t.Fatalf("no header at %d", pos)
		}

		var field [13]int
		for i := range field {
			fmt.Sscanf(string(raw[pos+6+8*i:pos+14+8*i]), "%08x", &field[i]) //nolint:errcheck
		}

		name := string(raw[pos+110 : pos+110+field[11]-1])
		data := (pos + 110 + field[11] + 3) &^ 3

		if name == "TRAILER!!!" {
			return list
		}

		list = append(list, fmt.Sprintf("%s %o %d %q", name, field[1], field[5], raw[data:data+field[6]]))
		pos = (data + field[6] + 3) &^ 3
	}
}

func TestArchiveIsReadable(t *testing.T) {
	want := []string{`etc 40755 0 ""`, `etc/a 100640 0 "12345"`, `lib 120777 0 "usr/lib"`}
	if got := entries(t, archive(t)); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got %v", got)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	if !bytes.Equal(archive(t), archive(t)) {
		t.Fatal("two archives of the same input differ")
	}
}

func TestCpioReadsIt(t *testing.T) {
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("no cpio here")
	}

	cmd := exec.Command(tool, "-t", "--quiet")
	cmd.Stdin = bytes.NewReader(archive(t))

	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "etc\netc/a\nlib\n" {
		t.Fatalf("%v: %s", err, out)
	}
}
