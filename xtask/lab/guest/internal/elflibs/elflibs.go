// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package elflibs finds the shared libraries that programs of an unpacked distribution need.
//
// It must not look outside of the folder that it is given: what the building machine has is not what a node gets.
package elflibs

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Libraries are the shared libraries that programs need, and those that these need in turn.
type Libraries struct {
	folders []string
	// Found holds files by the names by which the loader asks for them.
	Found map[string]string
}

// In begins an empty set of libraries of the unpacked packages in debian.
func In(debian string) *Libraries {
	const triplet = "x86_64-linux-gnu"

	var folders []string
	for _, folder := range []string{"usr/lib/" + triplet, "usr/lib/" + triplet + "/systemd", "usr/lib64", "usr/lib"} {
		folders = append(folders, filepath.Join(debian, folder))
	}

	return &Libraries{folders, map[string]string{}}
}

// AddNeeded adds what the header of a program or library names: its loader, and its libraries.
func (l *Libraries) AddNeeded(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("`%s`: %w", file, err)
	}
	defer f.Close() //nolint:errcheck

	needed, err := f.ImportedLibraries()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("`%s`: %w", file, err)
	}

	for _, program := range f.Progs {
		if program.Type == elf.PT_INTERP {
			needed = append(needed, "ld-linux-x86-64.so.2")
		}
	}

	for _, name := range needed {
		if err = l.Add(name); err != nil {
			return fmt.Errorf("`%s`: %w", file, err)
		}
	}

	return nil
}

// Add adds a library by its name, and what it needs.
func (l *Libraries) Add(name string) error {
	if _, ok := l.Found[name]; ok {
		return nil
	}

	for _, folder := range l.folders {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}

		l.Found[name] = path

		return l.AddNeeded(path)
	}

	return fmt.Errorf("no package has the library %s", name)
}

// IsELF tells programs and libraries from other files.
func IsELF(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}

	return f.Close() == nil
}
