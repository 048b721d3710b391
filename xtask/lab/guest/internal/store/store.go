// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package store keeps the little that a node must remember over a reboot on its system disk: that its etcd was bootstrapped, an
// applied machine config, the upgrades that were asked for, its identity. Talos has partitions for that; here it is one checked
// record at 1 MiB, without a partition table, so that firmware finds nothing to boot on the disk.
//
// It must not write to a disk that holds something else at its start, and a node without a disk forgets, but works.
package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

const (
	offset  = 1 << 20
	maxSize = 8 << 20
)

var magic = []byte("talos lab stand-in state 1\n")

// Record is what is remembered.
type Record struct {
	NodeID       string            `json:"nodeID"`
	Bootstrapped bool              `json:"bootstrapped"`
	Config       []byte            `json:"config,omitempty"`
	Upgrades     []json.RawMessage `json:"upgrades,omitempty"`
}

// Store is the record and its place. A zero Path means memory.
type Store struct {
	Path string

	mu     sync.Mutex
	record Record
}

// Open reads the record. A disk without one, or with a damaged one, starts afresh.
func Open(path string) (*Store, error) {
	s := &Store{Path: path}

	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck

	head := make([]byte, 512)
	if _, err = f.ReadAt(head, 0); err != nil {
		return nil, err
	}

	if !bytes.Equal(head, make([]byte, 512)) {
		return nil, fmt.Errorf("`%s` holds something else; it is left alone", path)
	}

	header := make([]byte, len(magic)+8+sha256.Size)
	if _, err = f.ReadAt(header, offset); err != nil {
		return nil, err
	}

	size := binary.BigEndian.Uint64(header[len(magic):])
	if !bytes.HasPrefix(header, magic) || size > maxSize {
		return s, nil
	}

	body := make([]byte, size)
	if _, err = f.ReadAt(body, offset+int64(len(header))); err != nil {
		return nil, err
	}

	if sum := sha256.Sum256(body); bytes.Equal(sum[:], header[len(magic)+8:]) {
		json.Unmarshal(body, &s.record) //nolint:errcheck // a record of another version starts afresh as well
	}

	return s, nil
}

// Get returns the record.
func (s *Store) Get() Record {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.record
}

// Update changes the record and writes it through to the disk.
func (s *Store) Update(change func(*Record)) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	change(&s.record)

	if s.Path == "" {
		return nil
	}

	body, err := json.Marshal(s.record)
	if err != nil {
		return err
	}

	if len(body) > maxSize {
		return errors.New("the record does not fit")
	}

	sum := sha256.Sum256(body)
	raw := append(bytes.Clone(magic), binary.BigEndian.AppendUint64(nil, uint64(len(body)))...)
	raw = append(append(raw, sum[:]...), body...)

	f, err := os.OpenFile(s.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck

	if _, err = f.WriteAt(raw, offset); err != nil {
		return err
	}

	return f.Sync()
}
