// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command staging writes the go.mod of a module that builds programs of Kubernetes: `staging VERSION`. It runs on the building machine.
//
// The go.mod of k8s.io/kubernetes takes the libraries that are developed beside it from its own
// folders, as v0.0.0; they are published as v0.MINOR.PATCH. Everything else is required as Kubernetes requires it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

const kubernetes = "k8s.io/kubernetes"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: staging VERSION")
		os.Exit(2)
	}

	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "staging:", err)
		os.Exit(1)
	}
}

func run(version string) error {
	described, err := exec.Command("go", "mod", "download", "-json", kubernetes+"@"+version).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return fmt.Errorf("go mod download: %w: %s", err, failed.Stderr)
	}

	if err != nil {
		return err
	}

	var downloaded struct{ GoMod string }
	if err = json.Unmarshal(described, &downloaded); err != nil {
		return err
	}

	contents, err := os.ReadFile(downloaded.GoMod)
	if err != nil {
		return err
	}

	written, err := rewrite(contents, version)
	if err != nil {
		return err
	}

	return os.WriteFile("go.mod", written, 0o644)
}

func rewrite(contents []byte, version string) ([]byte, error) {
	read, err := modfile.Parse("go.mod", contents, nil)
	if err != nil {
		return nil, err
	}

	staged, ok := strings.CutPrefix(version, "v1.")
	if !ok || read.Module.Mod.Path != kubernetes {
		return nil, fmt.Errorf("not the go.mod of %s v1: %s %s", kubernetes, read.Module.Mod.Path, version)
	}

	written := new(modfile.File)
	if err = written.AddModuleStmt("lab.invalid/kubernetes"); err != nil {
		return nil, err
	}

	if err = written.AddGoStmt(read.Go.Version); err != nil {
		return nil, err
	}

	for _, debug := range read.Godebug {
		if err = written.AddGodebug(debug.Key, debug.Value); err != nil {
			return nil, err
		}
	}

	requires := []module.Version{{Path: kubernetes, Version: version}}
	for _, require := range read.Require {
		if require.Mod.Version == "v0.0.0" {
			require.Mod.Version = "v0." + staged
		}

		requires = append(requires, require.Mod)
	}

	for _, require := range requires {
		written.AddNewRequire(require.Path, require.Version, false)
	}

	return written.Format()
}
