# What every birthkey firmware has frozen in; a board's own manifest includes this.
package("birthkey")
module("main.py")
module("_boot.py")
require("senml")
