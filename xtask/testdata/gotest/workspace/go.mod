module github.com/siderolabs/talos

go 1.24
