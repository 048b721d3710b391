// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package cpio writes "newc" archives that the kernel unpacks as an initramfs.
//
// It must not put anything of the building machine into them: no owner, no time, no inode of a real file. The same input makes
// the same bytes.
package cpio

import (
	"fmt"
	"io"
)

// File types as in st_mode.
const (
	Dir     = 0o040000
	Regular = 0o100000
	Link    = 0o120000
)

// Writer writes entries; Close writes the trailer.
type Writer struct {
	w     io.Writer
	inode int
	size  int64
}

// NewWriter starts an archive.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Entry writes one entry. Mode holds type and permissions; for a link, data is its target.
func (c *Writer) Entry(name string, mode uint32, data []byte) error {
	c.inode++

	links := 1
	if mode&0o170000 == Dir {
		links = 2
	}

	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)

	if err := c.padded([]byte(header + name + "\x00")); err != nil {
		return err
	}

	return c.padded(data)
}

func (c *Writer) padded(p []byte) error {
	n, err := c.w.Write(p)
	c.size += int64(n)

	if err != nil {
		return err
	}

	fill := int(-c.size & 3)
	c.size += int64(fill)
	_, err = c.w.Write(make([]byte, fill))

	return err
}

// Close ends the archive. The writer below stays open.
func (c *Writer) Close() error {
	c.inode = -1 // the trailer's inode is 0

	return c.Entry("TRAILER!!!", 0, nil)
}
