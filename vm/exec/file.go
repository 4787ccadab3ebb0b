package exec

// Files answers what helpers ask of files. The addresses are those of structures in
// Env.Objects, or ones that only stand for them.
type Files interface {
	// At is the file whose struct file, dentry or inode begins at an address, or nil.
	At(addr uint64) *File
	// Named is the file with a name, or nil.
	Named(name string) *File
}

// File is a file.
type File struct {
	Name  string
	Inode uint64 // address of its struct inode; 0: it has none
	Data  []byte // what it holds
	// Xattrs are its extended attributes: {"security.bpf.label": "text"}.
	Xattrs map[string]string
	// Verity is its digest under fs-verity; without one, it is not under it.
	Verity Measurement
}

// FileView is the part of a file that a dynptr shows.
type FileView struct {
	File         *File
	Offset, Size uint64
}
