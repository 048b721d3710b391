// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/proc"
)

// Memory is /proc/meminfo, in KiB.
func (s *Server) Memory(context.Context, *emptypb.Empty) (*machine.MemoryResponse, error) {
	m, err := node.Meminfo()
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	return &machine.MemoryResponse{Messages: []*machine.Memory{{Meminfo: &machine.MemInfo{
		Memtotal: m["MemTotal"], Memfree: m["MemFree"], Memavailable: m["MemAvailable"], Buffers: m["Buffers"], Cached: m["Cached"],
		Swapcached: m["SwapCached"], Active: m["Active"], Inactive: m["Inactive"], Activeanon: m["Active(anon)"], Inactiveanon: m["Inactive(anon)"],
		Activefile: m["Active(file)"], Inactivefile: m["Inactive(file)"], Unevictable: m["Unevictable"], Mlocked: m["Mlocked"],
		Swaptotal: m["SwapTotal"], Swapfree: m["SwapFree"], Dirty: m["Dirty"], Writeback: m["Writeback"], Anonpages: m["AnonPages"],
		Mapped: m["Mapped"], Shmem: m["Shmem"], Slab: m["Slab"], Sreclaimable: m["SReclaimable"], Sunreclaim: m["SUnreclaim"],
		Kernelstack: m["KernelStack"], Pagetables: m["PageTables"], Nfsunstable: m["NFS_Unstable"], Bounce: m["Bounce"],
		Commitlimit: m["CommitLimit"], Committedas: m["Committed_AS"], Vmalloctotal: m["VmallocTotal"], Vmallocused: m["VmallocUsed"],
		Vmallocchunk: m["VmallocChunk"], Anonhugepages: m["AnonHugePages"], Hugepagestotal: m["HugePages_Total"],
		Hugepagesfree: m["HugePages_Free"], Hugepagesize: m["Hugepagesize"], Directmap4K: m["DirectMap4k"], Directmap2M: m["DirectMap2M"],
		Directmap1G: m["DirectMap1G"],
	}}}}, nil
}

// LoadAvg is /proc/loadavg.
func (s *Server) LoadAvg(context.Context, *emptypb.Empty) (*machine.LoadAvgResponse, error) {
	field := strings.Fields(node.ReadLine("/proc/loadavg"))
	if len(field) < 3 {
		return nil, status.Error(codes.Internal, "/proc/loadavg cannot be read")
	}

	var load [3]float64
	for i := range load {
		load[i], _ = strconv.ParseFloat(field[i], 64)
	}

	return &machine.LoadAvgResponse{Messages: []*machine.LoadAvg{{Load1: load[0], Load5: load[1], Load15: load[2]}}}, nil
}

// Mounts is /proc/mounts.
func (s *Server) Mounts(context.Context, *emptypb.Empty) (*machine.MountsResponse, error) {
	raw, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	reply := &machine.Mounts{}

	for _, line := range strings.Split(string(raw), "\n") {
		if field := strings.Fields(line); len(field) > 1 {
			size, free := proc.FilesystemSize(field[1])
			reply.Stats = append(reply.Stats, &machine.MountStat{Filesystem: field[0], Size: size, Available: free, MountedOn: field[1]})
		}
	}

	return &machine.MountsResponse{Messages: []*machine.Mounts{reply}}, nil
}

// Processes is the process table.
func (s *Server) Processes(context.Context, *emptypb.Empty) (*machine.ProcessesResponse, error) {
	list, err := proc.List()
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}

	return &machine.ProcessesResponse{Messages: []*machine.Process{{Processes: list}}}, nil
}
