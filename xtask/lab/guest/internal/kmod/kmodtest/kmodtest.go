// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package kmodtest makes files that look like kernel modules to who reads their .modinfo section. No kernel would load them.
package kmodtest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// Write puts a module with those dependencies at folder/path.
func Write(t *testing.T, folder, path, depends string) {
	t.Helper()

	file := filepath.Join(folder, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(file, Module(depends), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Module is an ELF file of three sections: none, names, .modinfo.
func Module(depends string) []byte {
	const names = "\x00.shstrtab\x00.modinfo\x00"

	info := "license=GPL\x00depends=" + depends + "\x00name=x\x00"
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 1,
		Shoff: uint64(64 + len(names) + len(info)),
	}
	copy(header.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1})

	var out bytes.Buffer

	put := func(v any) { binary.Write(&out, binary.LittleEndian, v) } //nolint:errcheck // into memory
	put(header)
	out.WriteString(names + info)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: 64, Size: uint64(len(names))})
	put(elf.Section64{Name: 11, Type: uint32(elf.SHT_PROGBITS), Off: uint64(64 + len(names)), Size: uint64(len(info))})

	return out.Bytes()
}
