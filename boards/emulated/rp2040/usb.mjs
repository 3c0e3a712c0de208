// The host at the other end of the USB cable: it enumerates the board and is its serial console.
import { USBCDC } from './rp2040js.mjs';

export class Usb {
  // `onData` is called with what the board prints.
  constructor(onData) {
    this.onData = onData;
    this.queue = [];
    this.wanted = null; // the transfer that the board waits for
  }

  // Plug the cable into a chip that has just been reset.
  attach({ usbCtrl }) {
    this.controller = usbCtrl;
    this.queue.length = 0;
    this.wanted = null;
    const cdc = new USBCDC(usbCtrl);
    cdc.onSerialData = (bytes) => this.onData(bytes);
    // rp2040js answers with an empty packet when there is nothing to send, and the board asks
    // again at once: a storm of interrupts. Here it waits, as if each poll had met a NAK.
    const answer = usbCtrl.onEndpointRead;
    usbCtrl.onEndpointRead = (endpoint, size) => {
      if (endpoint !== cdc.outEndpoint) return answer(endpoint, size);
      this.wanted = { endpoint, size };
      return this.#deliver();
    };
  }

  // Type at the board's console.
  send(bytes) {
    for (const byte of bytes) this.queue.push(byte);
    this.#deliver();
  }

  #deliver() {
    if (!this.wanted || !this.queue.length) return;
    const { endpoint, size } = this.wanted;
    this.wanted = null;
    const packet = Uint8Array.from(this.queue.splice(0, size));
    this.controller.endpointReadDone(endpoint, packet);
  }
}
