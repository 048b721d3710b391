// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package kernel reads what the kernel tells user space and mounts what user space needs from it.
//
// It must not decide anything about the node: it has no idea of machine configs, services or phases.
package kernel

import (
	"os"
	"strings"
)

// Cmdline is the kernel command line, parsed. A parameter may be given several times.
type Cmdline struct {
	Raw    string
	values map[string][]string
}

// ReadCmdline reads /proc/cmdline.
func ReadCmdline() (*Cmdline, error) {
	raw, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}

	return ParseCmdline(string(raw)), nil
}

// ParseCmdline splits at blanks outside of double quotes, as the kernel does.
func ParseCmdline(raw string) *Cmdline {
	c := &Cmdline{Raw: strings.TrimSpace(raw), values: map[string][]string{}}
	quoted := false

	for _, field := range strings.FieldsFunc(c.Raw, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}

		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	}) {
		key, value, _ := strings.Cut(strings.ReplaceAll(field, `"`, ""), "=")
		c.values[key] = append(c.values[key], value)
	}

	return c
}

// Has tells whether the parameter is there at all, with or without a value.
func (c *Cmdline) Has(key string) bool { return len(c.values[key]) > 0 }

// First is the first value of a parameter, or "".
func (c *Cmdline) First(key string) string {
	if v := c.values[key]; len(v) > 0 {
		return v[0]
	}

	return ""
}

// All are the values of a parameter in order.
func (c *Cmdline) All(key string) []string { return c.values[key] }
