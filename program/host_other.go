//go:build !linux

package program

func hostRelease() string { return "" }

func hostVersion() uint32 { return otherVersion }
