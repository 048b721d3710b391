package inner_test

import "testing"

func TestInTheOtherModule(t *testing.T) {}
