// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package audit

import (
	"encoding/binary"
	"testing"
)

func record(kind uint16, text string) []byte {
	p := message(kind, []byte(text))
	// As the kernel writes it: the length without the header.
	binary.NativeEndian.PutUint32(p, uint32(len(text)))

	return p
}

func TestRecords(t *testing.T) {
	kind, data, ok := parse(record(1400, "audit(1732000000.123:45): avc:  denied  { read } for  pid=1\x00"))
	if !ok {
		t.Fatal("an AVC was left out")
	}

	if got, want := Format(kind, data), "type=AVC msg=audit(1732000000.123:45): avc:  denied  { read } for  pid=1\n"; got != want {
		t.Errorf("got %q", got)
	}

	for _, kind := range []uint16{2, 1000, 1099, 3000} {
		if _, _, ok = parse(record(kind, "x")); ok {
			t.Errorf("type %d is not a record, and was taken for one", kind)
		}
	}

	if _, _, ok = parse([]byte("short")); ok {
		t.Error("half a header was taken for a record")
	}
}

func TestUnknownTypes(t *testing.T) {
	if got := TypeName(2998); got != "UNKNOWN[2998]" {
		t.Error(got)
	}
}

func TestStatusIsTheKernelsStruct(t *testing.T) {
	p := status(7)
	if len(p) != 32 || binary.NativeEndian.Uint32(p[0:]) != 1|4|8|16 || binary.NativeEndian.Uint32(p[12:]) != 7 {
		t.Errorf("%v", p)
	}
}
