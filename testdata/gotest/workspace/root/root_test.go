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
