package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Writer writes Ethernet frames to a capture. It is not safe for concurrent use.
//
// The capture appears under its name when Close succeeds; until then it is a
// hidden file beside it, which Abort removes. Abort after Close does nothing,
// so `defer w.Abort()` is right.
type Writer struct {
	path   string // where the capture will be
	file   *os.File
	buf    *bufio.Writer
	format format
}

// format is one capture format.
type format interface {
	write(p *Packet, ci gopacket.CaptureInfo) error
	finish() error
}

// Create starts a capture whose format is given by path's extension, .pcap or
// .pcapng; both keep nanoseconds. A file that is there is replaced at Close.
func Create(path string) (*Writer, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if ext != ".pcap" && ext != ".pcapng" {
		return nil, fmt.Errorf("create capture %s: the name must end in .pcap or .pcapng, which tells the format", path)
	}
	target, err := regular(path)
	if err != nil {
		return nil, fmt.Errorf("create capture %s: %w", path, err)
	}
	w := &Writer{path: target}
	if w.file, err = createBeside(target); err != nil {
		return nil, fmt.Errorf("create capture %s: %w", path, err)
	}
	w.buf = bufio.NewWriterSize(w.file, readAhead)
	if ext == ".pcapng" {
		w.format = &pcapng{w: w.buf}
	} else {
		w.format, err = newPcap(w.buf)
	}
	if err != nil {
		w.Abort()
		return nil, fmt.Errorf("create capture %s: %w", path, err)
	}
	return w, nil
}

// regular gives the file that path means, links followed. It refuses what a
// rename would destroy: devices, pipes, directories.
func regular(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it exists and is no regular file")
	}
	return filepath.EvalSymlinks(path)
}

// createBeside makes the hidden file. os.CreateTemp would give it a mode that
// only its owner can read.
func createBeside(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	name := fmt.Sprintf(".%s.%d", base, os.Getpid())
	for i := 0; ; i++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// Write adds a packet. Data and Time are written, and as its length on the wire
// the larger of OrigLen and len(Data). pcapng also keeps the interface.
func (w *Writer) Write(p Packet) error {
	if len(p.Data) > MaxPacket {
		return fmt.Errorf("write capture %s: a packet of %d bytes is over the limit of %d", w.path, len(p.Data), MaxPacket)
	}
	ci := gopacket.CaptureInfo{
		Timestamp:     p.Time,
		CaptureLength: len(p.Data),
		Length:        max(p.OrigLen, len(p.Data)),
	}
	if p.Time.IsZero() {
		ci.Timestamp = time.Unix(0, 0) // pcapgo would write the current time
	}
	if err := w.format.write(&p, ci); err != nil {
		return fmt.Errorf("write capture %s: %w", w.path, err)
	}
	return nil
}

// Close finishes the capture and puts it in its place. After an error nothing
// is left of it.
func (w *Writer) Close() error {
	defer w.Abort()
	if w.file == nil {
		return fs.ErrClosed
	}
	err := w.format.finish()
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil {
		err = w.file.Close()
	}
	if err == nil {
		err = os.Rename(w.file.Name(), w.path)
	}
	if err != nil {
		return fmt.Errorf("write capture %s: %w", w.path, err)
	}
	w.file = nil
	return nil
}

// Abort gives the capture up and removes what was written.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	os.Remove(w.file.Name())
	w.file = nil
}

// pcap is the classic format.
type pcap struct{ w *pcapgo.Writer }

func newPcap(buf *bufio.Writer) (*pcap, error) {
	w := pcapgo.NewWriterNanos(buf)
	return &pcap{w}, w.WriteFileHeader(MaxPacket, layers.LinkTypeEthernet)
}

func (f *pcap) write(p *Packet, ci gopacket.CaptureInfo) error {
	if s := ci.Timestamp.Unix(); s < 0 || s > math.MaxUint32 {
		return fmt.Errorf("time %s is outside of what pcap can hold; pcapng can", ci.Timestamp.Format(time.RFC3339))
	}
	return f.w.WritePacket(ci, p.Data)
}

func (f *pcap) finish() error { return nil }

// pcapng is the format with interfaces. They are written when first met.
type pcapng struct {
	w   *bufio.Writer
	ng  *pcapgo.NgWriter
	ids map[int]int // by Packet.Interface
}

func (f *pcapng) write(p *Packet, ci gopacket.CaptureInfo) error {
	if y := ci.Timestamp.Year(); y < 1970 || y > 2261 {
		return fmt.Errorf("time %s is outside of what nanoseconds in pcapng can hold", ci.Timestamp.Format(time.RFC3339))
	}
	id, ok := f.ids[p.Interface]
	if !ok {
		var err error
		if id, err = f.add(p.Interface, p.IfName); err != nil {
			return err
		}
	}
	ci.InterfaceIndex = id
	return f.ng.WritePacket(ci, p.Data)
}

// add writes an interface, and before the first the section header.
func (f *pcapng) add(number int, name string) (id int, err error) {
	ifc := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, SnapLength: MaxPacket}
	if f.ng == nil {
		f.ids = make(map[int]int)
		f.ng, err = pcapgo.NewNgWriterInterface(f.w, ifc, pcapgo.NgWriterOptions{
			SectionInfo: pcapgo.NgSectionInfo{Application: "skep"},
		})
	} else {
		id, err = f.ng.AddInterface(ifc)
	}
	f.ids[number] = id
	return id, err
}

func (f *pcapng) finish() error {
	if f.ng == nil {
		if _, err := f.add(0, ""); err != nil {
			return err
		}
	}
	return f.ng.Flush()
}
