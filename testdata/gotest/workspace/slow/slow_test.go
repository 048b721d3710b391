package slow_test

import (
	"os"
	"testing"
	"time"
)

func TestQuick(t *testing.T) {}

// TestSleeps is for runs that must be cut short.
func TestSleeps(t *testing.T) {
	wait, err := time.ParseDuration(os.Getenv("SLOW"))
	if err != nil {
		t.Skip("SLOW is not set")
	}

	time.Sleep(wait)
}

func TestNeverReached(t *testing.T) {}
