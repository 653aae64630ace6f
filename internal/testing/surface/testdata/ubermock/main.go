// This program uses everything that package ubermock exports.
package main

import (
	"io"

	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mock/ubermock"
)

var (
	_ func(*gomock.Controller) *ubermock.MockKvdb             = ubermock.NewMockKvdb
	_ func(*ubermock.MockKvdb) *ubermock.MockKvdbMockRecorder = (*ubermock.MockKvdb).EXPECT
	_ func(*ubermock.MockKvdbMockRecorder, any) *gomock.Call  = (*ubermock.MockKvdbMockRecorder).Get
	_ kvdb.Kvdb                                               = (*ubermock.MockKvdb)(nil)
	_ func(*gomock.Controller) *ubermock.MockTx               = ubermock.NewMockTx
	_ kvdb.Tx                                                 = (*ubermock.MockTx)(nil)
	_ io.Closer                                               = (*ubermock.MockKvdb)(nil)
)

func main() {}
