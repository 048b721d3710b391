// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package ok passes.
package ok

// Name is one of those that `-ldflags -X` sets.
var Name = "ok"
