// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package node

import (
	"os"
	"strconv"
	"strings"
)

// Meminfo is /proc/meminfo, in KiB.
func Meminfo() (map[string]uint64, error) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}

	return ParseMeminfo(string(raw)), nil
}

// ParseMeminfo reads lines such as `MemTotal:        2023432 kB`.
func ParseMeminfo(raw string) map[string]uint64 {
	info := map[string]uint64{}

	for _, line := range strings.Split(raw, "\n") {
		key, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}

		if field := strings.Fields(rest); len(field) > 0 {
			info[key], _ = strconv.ParseUint(field[0], 10, 64)
		}
	}

	return info
}
