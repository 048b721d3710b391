// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package kmod finds kernel modules, knows what they depend on, and loads them.
//
// It must not judge a module: the kernel says why one is refused, on its own console, and its errno is passed on.
package kmod

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Index maps module names, with `_` for `-`, to their files.
type Index map[string]string

// ErrNotFound means that no folder has the module.
var ErrNotFound = errors.New("module not found")

// Name is the module name of a file or of what a user typed.
func Name(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// Scan finds every *.ko below the folders; folders that are not there count as empty, and a later folder's module wins.
func Scan(folders ...string) (Index, error) {
	index := Index{}

	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}

			if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".ko") {
				index[Name(path)] = path
			}

			return err
		})
		if err != nil {
			return nil, err
		}
	}

	return index, nil
}

// Depends reads the `depends=` entry of a module's .modinfo section: what depmod would read. Compiled-in modules do not occur.
func Depends(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck

	depends, err := DependsIn(f)
	if err != nil {
		return nil, fmt.Errorf("`%s` is not a kernel module: %w", file, err)
	}

	return depends, nil
}

// DependsIn is the same for the bytes of a module.
func DependsIn(module io.ReaderAt) ([]string, error) {
	f, err := elf.NewFile(module)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck

	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo section")
	}

	info, err := section.Data()
	if err != nil {
		return nil, err
	}

	for _, entry := range bytes.Split(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}

	return nil, nil
}

// Order lists the modules and all that they need, dependencies first.
func (x Index) Order(names ...string) ([]string, error) {
	var (
		order []string
		visit func(name string) error
	)

	seen := map[string]bool{}
	visit = func(name string) error {
		name = Name(name)
		if seen[name] {
			return nil
		}

		seen[name] = true

		file, ok := x[name]
		if !ok {
			return fmt.Errorf("%w: %s", ErrNotFound, name)
		}

		deps, err := Depends(file)
		if err != nil {
			return err
		}

		for _, dep := range deps {
			if err = visit(dep); err != nil {
				return err
			}
		}

		order = append(order, name)

		return nil
	}

	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}

	return order, nil
}

// Load loads a module and first what it needs. A module that is loaded already is fine.
func (x Index) Load(name string) error {
	order, err := x.Order(name)
	if err != nil {
		return err
	}

	for _, dep := range order {
		if err = insert(x[dep]); err != nil && dep != Name(name) {
			return fmt.Errorf("dependency %s: %w", dep, err)
		}

		if err != nil {
			return err
		}
	}

	return nil
}

func insert(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck

	if err = unix.FinitModule(int(f.Fd()), "", 0); errors.Is(err, unix.EEXIST) {
		return nil
	}

	return err
}
