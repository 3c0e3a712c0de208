// rp2040js, from node_modules in the folder that RP2040_MODULES names: it is installed into a
// cache, so that the source tree stays as it is. Without the variable, from beside this file.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const folder = process.env.RP2040_MODULES;
const require = createRequire(folder ? pathToFileURL(`${folder}/`) : import.meta.url);

export const { BasePeripheral, ConsoleLogger, FIFO, LogLevel, RP2040, USBCDC } =
  require('rp2040js');

// Classes that it does not export, from a chip that is made of them.
const { core, peripherals, sio } = new RP2040();
export const CortexM0Core = core.constructor;
export const RPPSM = peripherals[0x40010].constructor;
export const RPReset = peripherals[0x4000c].constructor;
export const RPSIO = sio.constructor;
