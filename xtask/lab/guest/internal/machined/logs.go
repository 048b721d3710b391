// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/siderolabs/go-kmsg"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"lab.invalid/guest/internal/kernel"
)

// chunk of a streamed file or log.
const chunk = 32 * 1024

type dataStream = grpc.ServerStreamingServer[common.Data]

func send(stream dataStream, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), chunk)
		if err := stream.Send(&common.Data{Bytes: p[:n]}); err != nil {
			return err
		}

		p = p[n:]
	}

	return nil
}

// Logs streams a service's log, or `kernel` and `kubelet` and so on: whatever has been opened under that id.
func (s *Server) Logs(in *machine.LogsRequest, stream dataStream) error {
	log, ok := s.n.Logs.Get(in.GetId())
	if !ok {
		return fmt.Errorf("log %q was not registered", in.GetId())
	}

	return log.Read(stream.Context(), int(in.GetTailLines()), in.GetFollow(), func(p []byte) error { return send(stream, p) })
}

// LogsContainers lists the log ids.
func (s *Server) LogsContainers(context.Context, *emptypb.Empty) (*machine.LogsContainersResponse, error) {
	return &machine.LogsContainersResponse{Messages: []*machine.LogsContainer{{Ids: s.n.Logs.IDs()}}}, nil
}

// Dmesg streams the kernel ring buffer, one message a line, as internal/app/machined/internal/server/v1alpha1 formats it.
func (s *Server) Dmesg(in *machine.DmesgRequest, stream dataStream) error {
	return readKmsg(stream.Context(), in.GetFollow(), in.GetTail(), func(line string) error { return send(stream, []byte(line)) })
}

func readKmsg(ctx context.Context, follow, tail bool, sink func(string) error) error {
	return kernel.ReadKmsg(ctx, follow, tail, func(m kmsg.Message) error {
		return sink(fmt.Sprintf("%s: %7s: [%s]: %s", m.Facility, m.Priority, m.Timestamp.Format(time.RFC3339Nano), m.Message))
	})
}

// Read streams one file.
func (s *Server) Read(in *machine.ReadRequest, stream dataStream) error {
	info, err := os.Stat(in.GetPath())
	if err != nil {
		return fileError(err)
	}

	if !info.Mode().IsRegular() {
		return errors.New("path must be a regular file")
	}

	f, err := os.Open(in.GetPath())
	if err != nil {
		return fileError(err)
	}
	defer f.Close() //nolint:errcheck

	buf := make([]byte, chunk)

	for {
		n, err := f.Read(buf)
		if n > 0 {
			if err := send(stream, buf[:n]); err != nil {
				return err
			}
		}

		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return fileError(err)
		}
	}
}

func fileError(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, os.ErrPermission):
		return status.Error(codes.PermissionDenied, err.Error())
	}

	return status.Error(codes.Internal, err.Error())
}
