// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sys/unix"
)

// List reads the process table from /proc. A process that ends meanwhile is left out.
func List() ([]*machine.ProcessInfo, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}

	var list []*machine.ProcessInfo

	for _, folder := range folders {
		if p, err := read(folder); err == nil {
			list = append(list, p)
		}
	}

	return list, nil
}

func read(folder string) (*machine.ProcessInfo, error) {
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return nil, err
	}

	p, err := parseStat(string(stat))
	if err != nil {
		return nil, err
	}

	cmdline, _ := os.ReadFile(folder + "/cmdline")
	p.Args = strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))
	p.Executable, _ = os.Readlink(folder + "/exe")

	label, _ := os.ReadFile(folder + "/attr/current")
	p.Label = strings.TrimRight(string(label), "\x00\n")

	return p, nil
}

// parseStat reads /proc/PID/stat, whose second field may hold blanks and parentheses: the last `)` ends it.
func parseStat(stat string) (*machine.ProcessInfo, error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return nil, fmt.Errorf("unexpected stat line %q", stat)
	}

	field := strings.Fields(stat[end+1:])
	if len(field) < 22 {
		return nil, fmt.Errorf("unexpected stat line %q", stat)
	}

	number := func(i int) uint64 {
		v, _ := strconv.ParseUint(field[i], 10, 64)

		return v
	}

	pid, err := strconv.ParseInt(strings.TrimSpace(stat[:open]), 10, 32)

	return &machine.ProcessInfo{
		Pid: int32(pid), Ppid: int32(number(1)), State: field[0], Threads: int32(number(17)), Command: stat[open+1 : end],
		CpuTime: float64(number(11)+number(12)) / 100, VirtualMemory: number(20), ResidentMemory: number(21) * uint64(os.Getpagesize()),
	}, err
}

// FilesystemSize of what is mounted there, in bytes: all and free.
func FilesystemSize(path string) (size, free uint64) {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0, 0
	}

	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize)
}
