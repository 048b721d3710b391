// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command adapt makes a copy of the Talos module that compiles from modules of the public proxy alone: `adapt VERSION COPY SHIMS
// REPORT CONTAINERD`. It runs on the building machine.
//
// COPY is the folder to make, SHIMS has packages of our own that are added to it, and REPORT is a JSON file for what was replaced.
// CONTAINERD is the go.mod to write of a module that builds containerd in the version of which Talos has the client. Talos
// builds with forks that the proxy cannot verify. Each is taken back to the upstream module that Talos' go.mod requires, and where a
// fork has more than upstream, imports lead to a shim. Nothing else of Talos changes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// forks that cannot be verified, and what the lab's nodes do without.
var forks = map[string]string{
	"github.com/coredns/coredns":        "upstream CoreDNS: the DNS cache keeps negative answers longer",
	"golang.zx2c4.com/wireguard/wgctrl": "upstream wgctrl",
	containerd:                          "upstream containerd client: larger binaries",
}

// imports of a fork's own API, and the shim that has it.
var imports = map[string]string{
	"github.com/coredns/coredns/plugin/cache":     "github.com/siderolabs/talos/internal/lab/cache",
	"github.com/coredns/coredns/plugin/pkg/proxy": "github.com/siderolabs/talos/internal/lab/proxy",
}

// broken releases that Talos requires, and the next ones that compile.
var broken = map[string]string{
	"github.com/siderolabs/go-debug v0.6.1": "v0.6.2",
}

const (
	containerd = "github.com/containerd/containerd/v2"
	talos      = "github.com/siderolabs/talos"
	machinery  = talos + "/pkg/machinery"
)

// Replacement is one difference from Talos as it is released.
type Replacement struct {
	What string `json:"what"`
	With string `json:"with"`
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: adapt VERSION COPY SHIMS REPORT CONTAINERD")
		os.Exit(2)
	}

	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, "adapt:", err)
		os.Exit(1)
	}
}

func run(version, copied, shims, report, containerdModule string) error {
	module, err := download(".", talos+"@"+version)
	if err != nil {
		return err
	}

	// Files of the module cache are read-only, their copies are not.
	if err = os.CopyFS(copied, os.DirFS(module)); err != nil {
		return err
	}

	modules, err := upstream(copied)
	if err != nil {
		return err
	}

	repaired, err := repair(copied)
	if err != nil {
		return err
	}

	rewritten, err := rewriteImports(copied)
	if err != nil {
		return err
	}

	// After the rewriting: the shims import upstream itself.
	if err = os.CopyFS(copied, os.DirFS(shims)); err != nil {
		return err
	}

	if err = copyRelease(copied, version); err != nil {
		return err
	}

	if err = writeContainerdModule(copied, containerdModule); err != nil {
		return err
	}

	contents, err := json.MarshalIndent(slices.Concat(modules, repaired, rewritten), "", "  ")
	if err != nil {
		return err
	}

	return os.WriteFile(report, append(contents, '\n'), 0o644)
}

// copyRelease adds the node's os-release, which Talos' tree has inside its library, and the module has not.
func copyRelease(copied, version string) error {
	library, err := download(copied, machinery+"@"+version)
	if err != nil {
		return err
	}

	release, err := os.ReadFile(filepath.Join(library, "version/os-release"))
	if err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(copied, "os-release"), release, 0o644)
}

// writeContainerdModule requires containerd alone: in Talos' own module it would meet newer libraries of Kubernetes.
func writeContainerdModule(copied, to string) error {
	mod, err := describe(copied)
	if err != nil {
		return err
	}

	for _, require := range mod.Require {
		if require.Path == containerd {
			text := fmt.Sprintf("module lab.invalid/containerd\n\ngo %s\n\nrequire %s %s\n", mod.Go, containerd, require.Version)

			return os.WriteFile(to, []byte(text), 0o644)
		}
	}

	return fmt.Errorf("go.mod does not require %s", containerd)
}

// upstream drops replace directives of forks, and of Talos' own nested module,
// which the module cache does not have inside.
func upstream(dir string) ([]Replacement, error) {
	mod, err := describe(dir)
	if err != nil {
		return nil, err
	}

	var replaced []Replacement

	for _, replace := range mod.Replace {
		with, isFork := forks[replace.Old.Path]
		if !isFork && replace.Old.Path != machinery {
			continue
		}

		if _, err = command(dir, "go", "mod", "edit", "-dropreplace", replace.Old.Path); err != nil {
			return nil, err
		}

		if isFork {
			what := replace.New.Path + " " + replace.New.Version
			replaced = append(replaced, Replacement{What: what, With: with})
		}
	}

	if len(replaced) != len(forks) {
		return nil, fmt.Errorf("go.mod replaces %d of the %d forks that are known", len(replaced), len(forks))
	}

	return replaced, nil
}

// repair requires the next releases of modules that do not compile.
func repair(dir string) ([]Replacement, error) {
	mod, err := describe(dir)
	if err != nil {
		return nil, err
	}

	var replaced []Replacement

	for _, require := range mod.Require {
		next, isBroken := broken[require.Path+" "+require.Version]
		if !isBroken {
			continue
		}

		if _, err = command(dir, "go", "mod", "edit", "-require", require.Path+"@"+next); err != nil {
			return nil, err
		}

		replaced = append(replaced, Replacement{What: require.Path + " " + require.Version, With: next + ", which compiles"})
	}

	return replaced, nil
}

// rewriteImports leads the imports in question to shims, in place.
func rewriteImports(dir string) ([]Replacement, error) {
	files := map[string][]string{}

	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}

		contents, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		set := token.NewFileSet()

		file, err := parser.ParseFile(set, path, contents, parser.ImportsOnly)
		if err != nil {
			return err
		}

		// From the end, so that positions before stay true.
		for _, spec := range slices.Backward(file.Imports) {
			from, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}

			to, isForks := imports[from]
			if !isForks {
				continue
			}

			at := set.Position(spec.Path.Pos()).Offset
			contents = slices.Concat(contents[:at], []byte(strconv.Quote(to)), contents[at+len(spec.Path.Value):])
			files[from] = append(files[from], strings.TrimPrefix(path, dir+"/"))
		}

		return os.WriteFile(path, contents, 0o644)
	})
	if err != nil {
		return nil, err
	}

	var replaced []Replacement

	for from, to := range imports {
		if len(files[from]) == 0 {
			return nil, fmt.Errorf("no file imports %s", from)
		}

		replaced = append(replaced, Replacement{
			What: "import of " + from + " in " + strings.Join(files[from], ", "),
			With: to,
		})
	}

	slices.SortFunc(replaced, func(a, b Replacement) int { return strings.Compare(a.What, b.What) })

	return replaced, nil
}

// goMod is what a go.mod says.
type goMod struct {
	Go      string
	Require []struct{ Path, Version string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

func describe(dir string) (goMod, error) {
	var mod goMod

	described, err := command(dir, "go", "mod", "edit", "-json")
	if err != nil {
		return mod, err
	}

	err = json.Unmarshal(described, &mod)

	return mod, err
}

// download returns the folder of a module in the module cache.
func download(dir, module string) (string, error) {
	described, err := command(dir, "go", "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}

	var downloaded struct{ Dir string }

	err = json.Unmarshal(described, &downloaded)

	return downloaded.Dir, err
}

func command(dir string, argv ...string) ([]byte, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir

	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, failed.Stderr)
	}

	return out, err
}
