// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// depthOf a path below root: 0 for root itself.
func depthOf(root, path string) int {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == "." {
		return 0
	}

	return strings.Count(rel, "/") + 1
}

// walk calls visit for root and what is below it, down to a depth (negative: without limit). Errors of single files are passed on.
func walk(root string, depth int, visit func(path, rel string, info fs.FileInfo, err error) error) error {
	root = filepath.Clean("/" + root)

	return filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
		rel, _ := filepath.Rel(root, path)

		if info == nil {
			return visit(path, rel, nil, err)
		}

		if path == root && !info.IsDir() {
			rel = filepath.Base(path)
		}

		if failed := visit(path, rel, info, err); failed != nil {
			return failed
		}

		if info.IsDir() && depth >= 0 && depthOf(root, path) >= depth {
			return filepath.SkipDir
		}

		return nil
	})
}

// List streams what a folder holds.
func (s *Server) List(in *machine.ListRequest, stream grpc.ServerStreamingServer[machine.FileInfo]) error {
	depth := 1

	if in.GetRecurse() {
		depth = int(in.GetRecursionDepth())
		if depth == 0 {
			depth = -1
		}
	}

	return walk(in.GetRoot(), depth, func(path, rel string, info fs.FileInfo, err error) error {
		if info == nil && path == in.GetRoot() {
			return err
		}

		if info == nil {
			return stream.Send(&machine.FileInfo{Name: path, RelativeName: rel, Error: err.Error()})
		}

		if !wanted(in.GetTypes(), info.Mode()) {
			return nil
		}

		out := &machine.FileInfo{
			Name: path, RelativeName: rel, Size: info.Size(), Mode: uint32(info.Mode()), Modified: info.ModTime().Unix(), IsDir: info.IsDir(),
		}

		if err != nil {
			out.Error = err.Error()
		}

		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			out.Uid, out.Gid = st.Uid, st.Gid
		}

		if info.Mode()&fs.ModeSymlink != 0 {
			out.Link, _ = os.Readlink(path)
		}

		if in.GetReportXattrs() {
			out.Xattrs = xattrs(path)
		}

		return stream.Send(out)
	})
}

func wanted(types []machine.ListRequest_Type, mode fs.FileMode) bool {
	if len(types) == 0 {
		return true
	}

	switch {
	case mode.IsRegular():
		return slices.Contains(types, machine.ListRequest_REGULAR)
	case mode.IsDir():
		return slices.Contains(types, machine.ListRequest_DIRECTORY)
	case mode&fs.ModeSymlink != 0:
		return slices.Contains(types, machine.ListRequest_SYMLINK)
	}

	return false
}

// xattrs: security.selinux also where the file system does not list it.
func xattrs(path string) []*machine.Xattr {
	buf := make([]byte, 4096)

	var names []string
	if n, err := unix.Llistxattr(path, buf); err == nil {
		names = strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	}

	if !slices.Contains(names, "security.selinux") {
		names = append(names, "security.selinux")
	}

	var out []*machine.Xattr

	for _, name := range names {
		if n, err := unix.Lgetxattr(path, name, buf); err == nil {
			out = append(out, &machine.Xattr{Name: name, Data: slices.Clone(buf[:n])})
		}
	}

	return out
}

// DiskUsage streams the sizes of folders, inner ones first, as `du` does.
func (s *Server) DiskUsage(in *machine.DiskUsageRequest, stream grpc.ServerStreamingServer[machine.DiskUsageInfo]) error {
	for _, root := range in.GetPaths() {
		if _, err := s.usage(in, filepath.Clean("/"+root), filepath.Clean("/"+root), 0, stream); err != nil {
			return err
		}
	}

	return nil
}

func (s *Server) usage(in *machine.DiskUsageRequest, root, path string, depth int, stream grpc.ServerStreamingServer[machine.DiskUsageInfo],
) (int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, stream.Send(&machine.DiskUsageInfo{Name: path, RelativeName: path, Error: err.Error()})
	}

	size := info.Size()

	if info.IsDir() {
		entries, _ := os.ReadDir(path)

		for _, e := range entries {
			n, err := s.usage(in, root, filepath.Join(path, e.Name()), depth+1, stream)
			if err != nil {
				return 0, err
			}

			size += n
		}
	}

	threshold := in.GetThreshold()
	skip := (in.GetRecursionDepth() > 0 && depth >= int(in.GetRecursionDepth())) || (!info.IsDir() && !in.GetAll() && path != root) ||
		(threshold > 0 && size < threshold) || (threshold < 0 && size > -threshold)

	if skip {
		return size, nil
	}

	rel, _ := filepath.Rel(root, path)

	return size, stream.Send(&machine.DiskUsageInfo{Name: path, RelativeName: rel, Size: size})
}

// Copy streams a tar.gz of a file or folder, for `talosctl copy`.
func (s *Server) Copy(in *machine.CopyRequest, stream grpc.ServerStreamingServer[common.Data]) error {
	if !filepath.IsAbs(in.GetRootPath()) {
		return status.Errorf(codes.InvalidArgument, "path is not absolute %v", in.GetRootPath())
	}

	out := sender{stream}
	z := gzip.NewWriter(out)
	t := tar.NewWriter(z)

	if err := walk(in.GetRootPath(), -1, func(path, rel string, info fs.FileInfo, err error) error {
		if err != nil || info == nil {
			return nil // what cannot be read is left out
		}

		return addToTar(t, path, rel, info)
	}); err != nil {
		return fileError(err)
	}

	return errors.Join(t.Close(), z.Close())
}

type sender struct {
	stream grpc.ServerStreamingServer[common.Data]
}

func (s sender) Write(p []byte) (int, error) { return len(p), send(s.stream, p) }

func addToTar(t *tar.Writer, path, rel string, info fs.FileInfo) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		link, _ = os.Readlink(path)
	}

	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil // sockets
	}

	header.Name = rel

	// Files of /proc and /sys have no size of their own: the content has to be read first.
	var content []byte

	if info.Mode().IsRegular() {
		f, err := os.Open(path)
		if err != nil {
			return nil
		}

		content, err = io.ReadAll(f)
		f.Close() //nolint:errcheck

		if err != nil {
			return nil
		}

		header.Size = int64(len(content))
	}

	if err = t.WriteHeader(header); err != nil {
		return err
	}

	_, err = t.Write(content)

	return err
}
