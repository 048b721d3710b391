package racy_test

import "testing"

func TestRaces(t *testing.T) {
	var n int

	done := make(chan struct{})

	go func() {
		n++

		close(done)
	}()

	n++

	<-done
	t.Log(n)
}

func TestCalm(t *testing.T) {}
