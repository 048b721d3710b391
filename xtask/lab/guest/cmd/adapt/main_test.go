// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyImportsOfForksAreLedToShims(t *testing.T) {
	const (
		given = `// Package a says "github.com/coredns/coredns/plugin/cache".
package a

import (
	"github.com/coredns/coredns/plugin/cache"
	named "github.com/coredns/coredns/plugin/pkg/proxy"
	"github.com/coredns/coredns/request"
)

var _ = "github.com/coredns/coredns/plugin/cache"
`
		want = `// Package a says "github.com/coredns/coredns/plugin/cache".
package a

import (
	"github.com/siderolabs/talos/internal/lab/cache"
	named "github.com/siderolabs/talos/internal/lab/proxy"
	"github.com/coredns/coredns/request"
)

var _ = "github.com/coredns/coredns/plugin/cache"
`
	)

	dir := t.TempDir()
	write(t, dir, "a.go", given)
	write(t, dir, "a_test.go", given)

	replaced, err := rewriteImports(dir)
	if err != nil {
		t.Fatal(err)
	}

	if len(replaced) != 2 || replaced[0].What != "import of github.com/coredns/coredns/plugin/cache in a.go" {
		t.Errorf("%+v", replaced)
	}

	if got := read(t, dir, "a.go"); got != want {
		t.Errorf("got\n%s", got)
	}

	if got := read(t, dir, "a_test.go"); got != given {
		t.Errorf("a test was changed:\n%s", got)
	}
}

func TestATalosWithoutTheForksImportsIsRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.go", "package a\n")

	if _, err := rewriteImports(dir); err == nil {
		t.Error("taken")
	}
}

func TestForksAreTakenBackToUpstream(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", `module github.com/siderolabs/talos

go 1.25

replace (
	github.com/coredns/coredns => github.com/x/coredns v1.0.0
	github.com/mdlayher/ethtool => github.com/x/ethtool v0.1.0
	github.com/siderolabs/talos/pkg/machinery => ./pkg/machinery
	golang.zx2c4.com/wireguard/wgctrl => github.com/x/wgctrl v0.2.0
)

replace github.com/containerd/containerd/v2 => github.com/x/containerd/v2 v2.3.0
`)

	replaced, err := upstream(dir)
	if err != nil || len(replaced) != 3 || replaced[0].What != "github.com/x/coredns v1.0.0" {
		t.Fatalf("%v %+v", err, replaced)
	}

	const want = `module github.com/siderolabs/talos

go 1.25

replace github.com/mdlayher/ethtool => github.com/x/ethtool v0.1.0
`
	if got := read(t, dir, "go.mod"); got != want {
		t.Errorf("got\n%s", got)
	}

	// With a fork that is unknown, or one less, this is not the Talos that the recipe is for.
	if _, err := upstream(dir); err == nil {
		t.Error("taken a second time")
	}
}

func TestABrokenReleaseIsReplacedByTheNext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module x\n\ngo 1.25\n\nrequire (\n\texample.org/y v1.0.0\n\tgithub.com/siderolabs/go-debug v0.6.1\n)\n")

	replaced, err := repair(dir)
	if err != nil || len(replaced) != 1 || replaced[0].What != "github.com/siderolabs/go-debug v0.6.1" {
		t.Fatalf("%v %+v", err, replaced)
	}

	const want = "module x\n\ngo 1.25\n\nrequire (\n\texample.org/y v1.0.0\n\tgithub.com/siderolabs/go-debug v0.6.2\n)\n"
	if got := read(t, dir, "go.mod"); got != want {
		t.Errorf("got\n%s", got)
	}

	if replaced, err = repair(dir); err != nil || len(replaced) != 0 {
		t.Errorf("%v %+v", err, replaced)
	}
}

func TestContainerdIsBuiltInTheVersionOfTalosClient(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module x\n\ngo 1.25\n\nrequire github.com/containerd/containerd/v2 v2.2.2\n")

	if err := writeContainerdModule(dir, filepath.Join(dir, "written")); err != nil {
		t.Fatal(err)
	}

	const want = "module lab.invalid/containerd\n\ngo 1.25\n\nrequire github.com/containerd/containerd/v2 v2.2.2\n"
	if got := read(t, dir, "written"); got != want {
		t.Errorf("got\n%s", got)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()

	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
