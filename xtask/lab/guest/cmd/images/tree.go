// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path"
	"slices"
)

// tree is the content of a layer by path. The same input makes the same bytes: no owner, no time.
type tree struct {
	headers map[string]*tar.Header
	data    map[string][]byte
}

// newTree has what every image of the lab has.
func newTree() *tree {
	t := &tree{map[string]*tar.Header{}, map[string][]byte{}}

	for _, folder := range []string{"/dev", "/proc", "/run", "/sys", "/usr/bin", "/usr/lib", "/var"} {
		t.folder(folder, 0o755)
	}

	t.folder("/tmp", 0o1777)

	for link, target := range map[string]string{
		"/bin": "usr/bin", "/sbin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib", "/usr/sbin": "bin", "/usr/lib64": "lib",
		// Talos mounts the node's /run at /var/run, and the kubelet dials containerd in /run.
		"/var/run": "../run",
	} {
		t.link(link, target)
	}

	t.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	t.text("/etc/group", "root:x:0:\n")

	return t
}

func (t *tree) folder(at string, mode int64) {
	if at == "/" || t.headers[at] != nil {
		return
	}

	t.folder(path.Dir(at), 0o755)
	t.headers[at] = &tar.Header{Typeflag: tar.TypeDir, Name: at[1:] + "/", Mode: mode}
}

func (t *tree) text(at, text string) {
	t.folder(path.Dir(at), 0o755)
	t.headers[at] = &tar.Header{Typeflag: tar.TypeReg, Name: at[1:], Mode: 0o644, Size: int64(len(text))}
	t.data[at] = []byte(text)
}

// file adds a program or library.
func (t *tree) file(at, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}

	t.folder(path.Dir(at), 0o755)
	t.headers[at] = &tar.Header{Typeflag: tar.TypeReg, Name: at[1:], Mode: 0o755, Size: int64(len(data))}
	t.data[at] = data

	return nil
}

func (t *tree) link(at, target string) {
	t.folder(path.Dir(at), 0o755)
	t.headers[at] = &tar.Header{Typeflag: tar.TypeSymlink, Name: at[1:], Linkname: target, Mode: 0o777}
}

func (t *tree) tar() ([]byte, error) {
	paths := make([]string, 0, len(t.headers))
	for at := range t.headers {
		paths = append(paths, at)
	}

	slices.Sort(paths)

	var out bytes.Buffer

	archive := tar.NewWriter(&out)

	for _, at := range paths {
		if err := archive.WriteHeader(t.headers[at]); err != nil {
			return nil, err
		}

		if _, err := archive.Write(t.data[at]); err != nil {
			return nil, err
		}
	}

	err := archive.Close()

	return out.Bytes(), err
}
