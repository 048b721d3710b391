module github.com/siderolabs/talos/sub

go 1.24
