package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// The layout of a bbolt file, with numbers in the byte order of the machine. A page
// has a header (id, 8 bytes; flags, 2; count, 2; overflow, 4) and count elements,
// which have the positions of their keys and values. A meta page has a header and the
// fields that checker reads by their offsets.
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16 // page of the bucket's root, 8 bytes; sequence number, 8
	metaSize     = 80

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketElement = 0x01

	noFreelist = math.MaxUint64
	manyPages  = 0xffff // as the count of a freelist: the true count follows the header
	// maxDepth bounds the depth of the tree. bbolt has at least 2 keys in a page.
	maxDepth = 64
)

// checker reads the structure of a whole file, to find damage that would make bbolt
// crash without a way to recover: a cycle of pages, for example.
type checker struct {
	file     io.ReaderAt
	pageSize uint64
	pages    uint64   // pages have smaller ids
	used     []uint64 // a bit for each page that something refers to
	buffers  [][]byte // one for each depth
	lost     uint64   // the number of pages that are neither used nor in the list of free pages
}

// check returns an error if a file, which is open for reading, is damaged.
func check(file *boltFile) error {
	_, err := checkPages(file)
	return err
}

// checkPages is check, and returns the number of pages that are neither used nor free. These
// only take space.
func checkPages(file *boltFile) (lost uint64, err error) {
	tx, err := file.Begin(false)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // only fails for a transaction that is over
	info, err := file.raw.Stat()
	if err != nil {
		return 0, err
	}
	c := &checker{file: file.raw, pageSize: uint64(file.Info().PageSize)}
	if err := c.run(uint64(tx.ID()), uint64(info.Size())); err != nil {
		return 0, corrupt(file.raw.Name(), err)
	}
	return c.lost, nil
}

func (c *checker) run(txid, size uint64) error {
	if c.pageSize < 512 || c.pageSize&(c.pageSize-1) != 0 {
		return fmt.Errorf("its pages have %d bytes", c.pageSize)
	}
	var meta [metaSize]byte
	if _, err := c.file.ReadAt(meta[:], int64(txid%2*c.pageSize)); err != nil {
		return err
	}
	root, freelist := number(meta[32:]), number(meta[48:])
	c.pages = number(meta[56:])
	switch {
	case number(meta[64:]) != txid:
		return errors.New("its meta pages are exchanged")
	case c.pages > size/c.pageSize:
		return fmt.Errorf("it is cut off: %d pages of %d bytes do not fit into %d bytes", c.pages, c.pageSize, size)
	}
	c.used = make([]uint64, c.pages/64+1)
	c.used[0] = 3 // the meta pages
	if err := c.tree(root, 0, nil, nil); err != nil {
		return err
	}
	return c.freelist(freelist)
}

func number(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

func short(b []byte) uint64 { return uint64(binary.NativeEndian.Uint32(b)) }

// use marks the page as used. It returns an error if it is used already.
func (c *checker) use(id uint64) error {
	switch {
	case id >= c.pages:
		return fmt.Errorf("page %d is beyond the last, %d", id, c.pages-1)
	case c.used[id/64]&(1<<(id%64)) != 0:
		return fmt.Errorf("page %d is used twice", id)
	}
	c.used[id/64] |= 1 << (id % 64)
	return nil
}

// read reads a page and its overflow pages.
func (c *checker) read(id uint64, depth int) (page, error) {
	if err := c.use(id); err != nil {
		return page{}, err
	}
	if len(c.buffers) == depth {
		c.buffers = append(c.buffers, make([]byte, c.pageSize))
	}
	data := c.buffers[depth]
	if _, err := c.file.ReadAt(data[:c.pageSize], int64(id*c.pageSize)); err != nil {
		return page{}, err
	}
	if own := number(data); own != id {
		return page{}, fmt.Errorf("page %d says it is page %d", id, own)
	}
	overflow := short(data[12:])
	for next := id + 1; next <= id+overflow; next++ {
		if err := c.use(next); err != nil {
			return page{}, err
		}
	}
	length := (overflow + 1) * c.pageSize
	if uint64(len(data)) < length {
		data = append(data, make([]byte, length-uint64(len(data)))...)
		c.buffers[depth] = data
	}
	if _, err := c.file.ReadAt(data[c.pageSize:length], int64((id+1)*c.pageSize)); err != nil {
		return page{}, err
	}
	return parsePage(data[:length]), nil
}

// page is a page of elements.
type page struct {
	flags, count uint64
	data         []byte
}

func parsePage(data []byte) page {
	return page{
		flags: uint64(binary.NativeEndian.Uint16(data[8:])),
		count: uint64(binary.NativeEndian.Uint16(data[10:])),
		data:  data,
	}
}

// element is an element of a branch page, with a key and a child, or of a leaf page, with
// a key and a value.
type element struct {
	key, value []byte
	child      uint64 // id of a page
	flags      uint64
}

func (p page) element(i uint64) (e element, err error) {
	start := pageHeader + i*elementSize
	if start+elementSize > uint64(len(p.data)) {
		return e, fmt.Errorf("element %d is behind its page", i)
	}
	header := p.data[start:]
	var position, keySize, valueSize uint64
	if p.flags == branchPage {
		position, keySize, e.child = short(header), short(header[4:]), number(header[8:])
	} else {
		e.flags, position = short(header), short(header[4:])
		keySize, valueSize = short(header[8:]), short(header[12:])
	}
	switch {
	case start+position+keySize+valueSize > uint64(len(p.data)):
		return e, fmt.Errorf("element %d ends behind its page", i)
	case keySize == 0:
		return e, fmt.Errorf("element %d has no key", i)
	case e.flags&^bucketElement != 0:
		return e, fmt.Errorf("element %d is of the unknown kind %#x", i, e.flags)
	}
	data := header[position:]
	e.key, e.value = data[:keySize], data[keySize:keySize+valueSize]
	return e, nil
}

// tree checks a page and the pages below it. Its first key must be first, and all keys
// must be less than high, unless these are nil. bbolt finds a page in its parent by the
// first key, and a wrong first key would make it keep the old page there.
func (c *checker) tree(id uint64, depth int, first, high []byte) error {
	if depth > maxDepth {
		return errors.New("its pages are nested too deep")
	}
	p, err := c.read(id, depth)
	if err != nil {
		return err
	}
	if err := c.elements(p, depth, first, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (c *checker) elements(p page, depth int, first, high []byte) error {
	switch {
	case p.flags != branchPage && p.flags != leafPage:
		return fmt.Errorf("it is of the unknown kind %#x", p.flags)
	case p.count == 0 && (p.flags == branchPage || first != nil):
		return errors.New("it is empty")
	}
	var previous []byte
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if i == 0 && first != nil && !bytes.Equal(e.key, first) ||
			bytes.Compare(e.key, previous) <= 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("element %d is out of order", i)
		}
		switch {
		case p.flags == branchPage:
			end := high
			if i+1 < p.count {
				next, err := p.element(i + 1)
				if err != nil {
					return err
				}
				end = next.key
			}
			err = c.tree(e.child, depth+1, e.key, end)
		case e.flags == bucketElement:
			err = c.bucket(e.value, depth+1)
		}
		if err != nil {
			return err
		}
		previous = e.key
	}
	return nil
}

// bucket checks a bucket, which is a tree of its own or, if it is small, a leaf page
// inside its element.
func (c *checker) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return errors.New("a bucket is cut off")
	}
	if root := number(value); root != 0 {
		return c.tree(root, depth, nil, nil)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader {
		return errors.New("a bucket is cut off")
	}
	return c.elements(parsePage(inline), maxDepth, nil, nil) // nothing is below it
}

// freelist checks the list of free pages.
func (c *checker) freelist(id uint64) error {
	if id == noFreelist {
		return nil
	}
	p, err := c.read(id, 0)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return fmt.Errorf("page %d is not the list of free pages", id)
	}
	ids := p.data[pageHeader:]
	if p.count == manyPages {
		p.count, ids = number(ids), ids[8:]
	}
	if p.count > uint64(len(ids))/8 {
		return errors.New("the list of free pages is cut off")
	}
	for i := range p.count {
		if err := c.use(number(ids[8*i:])); err != nil {
			return err
		}
	}
	c.lost = c.pages
	for _, used := range c.used {
		c.lost -= uint64(bits.OnesCount64(used))
	}
	return nil
}
