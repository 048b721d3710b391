package unbuilt_test

import "testing"

func TestNeverBuilt(t *testing.T) {
	notThere()
}
