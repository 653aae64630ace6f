// This program uses everything that package mock exports.
package main

import (
	"io"

	"github.com/golang/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mock"
)

var (
	_ func(*gomock.Controller) *mock.MockKvdb            = mock.NewMockKvdb
	_ func(*mock.MockKvdb) *mock.MockKvdbMockRecorder    = (*mock.MockKvdb).EXPECT
	_ func(*mock.MockKvdbMockRecorder, any) *gomock.Call = (*mock.MockKvdbMockRecorder).Get
	_ kvdb.Kvdb                                          = (*mock.MockKvdb)(nil)
	_ func(*gomock.Controller) *mock.MockTx              = mock.NewMockTx
	_ kvdb.Tx                                            = (*mock.MockTx)(nil)
	_ io.Closer                                          = (*mock.MockKvdb)(nil)
)

func main() {}
