// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package audit receives the kernel's audit records over netlink, as auditd does: it makes itself the audit daemon, so the kernel
// stops printing them, and hands each on as a line.
//
// It must not filter beyond the range of record types that Talos' auditd keeps (internal/app/auditd/auditd.go), and must not
// change what the kernel wrote.
package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// From linux/audit.h: the request that sets the audit status, its mask bits, and the range of records for user space.
const (
	set = 1001

	maskEnabled, maskPID, maskRate, maskBacklog = 1, 4, 8, 16

	firstRecord, lastRecord = 1100, 2999
)

// Talos' own limits (internal/app/auditd/auditd.go).
const (
	rateLimit    = 4096
	backlogLimit = 8192
)

// names of the record types that occur here, from linux/audit.h.
var names = map[uint16]string{
	1100: "USER_AUTH", 1107: "USER_AVC", 1112: "USER_LOGIN", 1130: "SERVICE_START", 1131: "SERVICE_STOP",
	1300: "SYSCALL", 1302: "PATH", 1303: "IPC", 1304: "SOCKETCALL", 1305: "CONFIG_CHANGE", 1306: "SOCKADDR", 1307: "CWD", 1309: "EXECVE",
	1318: "OBJ_PID", 1320: "EOE", 1321: "BPRM_FCAPS", 1323: "MMAP", 1325: "NETFILTER_CFG", 1326: "SECCOMP", 1327: "PROCTITLE",
	1328: "FEATURE_CHANGE", 1329: "REPLACE", 1330: "KERN_MODULE", 1331: "FANOTIFY", 1334: "BPF",
	1400: "AVC", 1401: "SELINUX_ERR", 1402: "AVC_PATH", 1403: "MAC_POLICY_LOAD", 1404: "MAC_STATUS", 1405: "MAC_CONFIG_CHANGE",
	1406: "MAC_UNLBL_ALLOW", 1407: "MAC_CIPSOV4_ADD", 1408: "MAC_CIPSOV4_DEL", 1409: "MAC_MAP_ADD", 1410: "MAC_MAP_DEL",
	1416: "MAC_UNLBL_STCADD", 1417: "MAC_UNLBL_STCDEL", 1418: "MAC_CALIPSO_ADD", 1419: "MAC_CALIPSO_DEL", 2000: "KERNEL", 1700: "ANOM_PROMISCUOUS", 1701: "ANOM_ABEND", 1702: "ANOM_LINK",
}

// TypeName of a record.
func TypeName(t uint16) string {
	if name, ok := names[t]; ok {
		return name
	}

	return fmt.Sprintf("UNKNOWN[%d]", t)
}

// Format is a record as a line of the auditd log.
func Format(t uint16, data []byte) string { return fmt.Sprintf("type=%s msg=%s\n", TypeName(t), data) }

// status is struct audit_status up to `backlog`: mask, enabled, failure, pid, rate_limit, backlog_limit, lost, backlog.
func status(pid int) []byte {
	var p []byte
	for _, v := range []uint32{maskEnabled | maskPID | maskRate | maskBacklog, 1, 0, uint32(pid), rateLimit, backlogLimit, 0, 0} {
		p = binary.NativeEndian.AppendUint32(p, v)
	}

	return p
}

// message puts a netlink header on.
func message(kind uint16, payload []byte) []byte {
	p := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(payload)))
	p = binary.NativeEndian.AppendUint16(p, kind)
	p = binary.NativeEndian.AppendUint16(p, unix.NLM_F_REQUEST)
	p = append(p, make([]byte, 8)...) // sequence and port: the kernel fills in ours

	return append(p, payload...)
}

// Run writes every record to out until ctx ends. Up is called once the kernel has been told.
func Run(ctx context.Context, out io.Writer, up func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return fmt.Errorf("failed to create audit client: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck

	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}

	// Wakes up twice a second to look whether it is time to go.
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 500_000}); err != nil {
		return err
	}

	if err = unix.Sendto(fd, message(set, status(os.Getpid())), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("failed to set audit PID: %w", err)
	}

	up()

	buf := make([]byte, 16*1024)

	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(fd, buf, 0)

		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			fmt.Fprintln(out, "audit backlog limit reached, some audit events may have been lost")

			continue
		case err != nil:
			return fmt.Errorf("failed to receive audit event: %w", err)
		}

		if kind, data, ok := parse(buf[:n]); ok {
			io.WriteString(out, Format(kind, data)) //nolint:errcheck // a log in memory
		}
	}

	return nil
}

// parse takes one datagram as one record. The length in the header of an audit record does not count the header itself, and never
// did, so the datagram's own length is what counts.
func parse(p []byte) (kind uint16, data []byte, ok bool) {
	if len(p) < unix.NLMSG_HDRLEN {
		return 0, nil, false
	}

	kind = binary.NativeEndian.Uint16(p[4:])
	data = p[unix.NLMSG_HDRLEN:]

	for len(data) > 0 && data[len(data)-1] == 0 {
		data = data[:len(data)-1]
	}

	return kind, data, kind >= firstRecord && kind <= lastRecord
}
