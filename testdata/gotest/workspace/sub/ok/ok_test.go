package ok_test

import "testing"

// TestSameName is in a package of the same name as another.
func TestSameName(t *testing.T) {}
