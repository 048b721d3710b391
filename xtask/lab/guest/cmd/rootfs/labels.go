// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// contexts are the lines of a file_contexts, in order.
type contexts []context

type context struct {
	path  *regexp.Regexp
	kind  string // "--" for regular files only, "" for everything
	label string
}

func readContexts(path string) (contexts, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	return parseContexts(string(text))
}

func parseContexts(text string) (contexts, error) {
	var parsed contexts

	for line := range strings.Lines(text) {
		fields := strings.Fields(line)

		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
			continue
		case len(fields) == 2:
			fields = []string{fields[0], "", fields[1]}
		case len(fields) != 3:
			return nil, fmt.Errorf("file_contexts: cannot read `%s`", strings.TrimSpace(line))
		}

		pattern, err := regexp.Compile("^(?:" + fields[0] + ")$")
		if err != nil {
			return nil, fmt.Errorf("file_contexts: %w", err)
		}

		parsed = append(parsed, context{pattern, fields[1], fields[2]})
	}

	return parsed, nil
}

// label is that of the last line that fits, as libselinux has it.
func (c contexts) label(path string, isRegular bool) string {
	for i := len(c) - 1; i >= 0; i-- {
		if (c[i].kind == "" || (c[i].kind == "--" && isRegular)) && c[i].path.MatchString(path) {
			return c[i].label
		}
	}

	return ""
}

// pseudoFiles are mksquashfs' definitions that label a tree.
func (c contexts) pseudoFiles(dir string) (string, error) {
	paths, err := root(dir).paths()
	if err != nil {
		return "", err
	}

	var out strings.Builder

	for _, path := range paths {
		info, err := os.Lstat(root(dir).at(path))
		if err != nil {
			return "", err
		}

		if label := c.label(path, info.Mode().IsRegular()); label != "" && label != "<<none>>" {
			fmt.Fprintf(&out, "%q x security.selinux=%s\n", path, label)
		}
	}

	return out.String(), nil
}
