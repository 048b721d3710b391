// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package root_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func needsRoot(t *testing.T) {
	t.Helper()

	if os.Geteuid() != 0 {
		t.Skip("skipping test because it requires root privileges")
	}
}

func TestPlain(t *testing.T) {}

func TestMounts(t *testing.T) {
	needsRoot(t)

	// Left mounted on purpose.
	if err := syscall.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

func TestWritesIntoItsFolder(t *testing.T) {
	needsRoot(t)

	dir := filepath.Join("testdata", "written", "deep")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPrintsItsEnvironment(t *testing.T) {
	needsRoot(t)

	for _, line := range os.Environ() {
		t.Log("env " + line)
	}

	t.Log("pid 1 is " + strings.TrimSpace(read("/proc/1/comm")))
	t.Log("links: " + strings.Join(links(), " "))
}

func TestFindsItself(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	t.Log("executable is " + own)

	if err := exec.Command(own, "-test.run=^TestPlain$").Run(); err != nil {
		t.Fatal(err)
	}
}

func TestWaits(t *testing.T) {
	needsRoot(t)

	if os.Getenv("CI") != "wait" {
		t.Skip("only when asked")
	}

	// By whoever asked, whatever becomes of our folder meanwhile.
	dir := os.Getenv("SIGNALS")
	started, goOn := filepath.Join(dir, "started"), filepath.Join(dir, "go-on")

	for _, name := range []string{"made", started} {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	for {
		if _, err := os.Stat(goOn); err == nil {
			return
		}

		time.Sleep(5 * time.Millisecond)
	}
}

func TestLinks(t *testing.T) {
	needsRoot(t)

	target := os.Getenv("TARGET")
	if target == "" {
		t.Skip("only when asked")
	}

	if err := os.Link(target, "hard"); err != nil {
		t.Fatal(err)
	}

	if err := os.Symlink(target, "soft"); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile("made", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile("set-user-id", []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod("set-user-id", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
}

func TestLeavesAProcess(t *testing.T) {
	needsRoot(t)

	// In a session of its own, holding our output open.
	seconds := os.Getenv("TZ")
	if seconds == "" {
		seconds = "1616161"
	}

	command := exec.Command("setsid", "sleep", seconds)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr

	if err := command.Start(); err != nil {
		t.Fatal(err)
	}

	t.Logf("left %d", command.Process.Pid)
}

func TestSleeps(t *testing.T) {
	if os.Getenv("CI") != "hang" {
		t.Skip("only when asked")
	}

	time.Sleep(time.Hour)
}

func TestIgnoresSignals(t *testing.T) {
	needsRoot(t)

	if os.Getenv("CI") != "hang" {
		t.Skip("only when asked")
	}

	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	time.Sleep(time.Hour)
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}

	return string(text)
}

func links() []string {
	var names []string

	for _, line := range strings.Split(read("/proc/self/net/dev"), "\n") {
		if name, _, found := strings.Cut(line, ":"); found {
			names = append(names, strings.TrimSpace(name))
		}
	}

	return names
}
